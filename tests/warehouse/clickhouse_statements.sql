SELECT k, v FROM (SELECT arrayJoin([('a', 1), ('a', 2), ('b', 3)]) AS p, p.1 AS k, p.2 AS v) ORDER BY v LIMIT 1 BY k
SELECT k, v FROM (SELECT arrayJoin([('a', 1), ('a', 2), ('b', 3)]) AS p, p.1 AS k, p.2 AS v) ORDER BY v DESC LIMIT 1 BY k LIMIT 1
WITH 3 AS x, 'a' AS y SELECT x + 1, y
WITH (SELECT max(number) FROM numbers(5)) AS top SELECT number FROM numbers(5) WHERE number = top
WITH t AS (SELECT number AS n FROM numbers(3)), 2 AS two SELECT n * two FROM t ORDER BY n
SELECT number FROM numbers(5) WHERE number GLOBAL IN (SELECT 2) OR number GLOBAL NOT IN (0, 1, 2, 3) ORDER BY number
SELECT id, tag FROM (SELECT 1 AS id, ['x', 'y'] AS tags) ARRAY JOIN tags AS tag ORDER BY tag
SELECT id, tag, n FROM (SELECT 1 AS id, ['x', 'y'] AS tags, [1, 2] AS ns) ARRAY JOIN tags AS tag, ns AS n ORDER BY tag
SELECT '12'::UInt8 + 1, CAST('3', 'Int32'), CAST(1.5 AS Nullable(Float64)), CAST('a' AS LowCardinality(String))
SELECT `a b`, "c" FROM (SELECT 1 AS `a b`, 2 AS c)
SELECT t.1, tupleElement(t, 2), (3, 4).2 FROM (SELECT (1, 'x') AS t)
SELECT countIf(number > 2), sumIf(number, number % 2 = 0), avgIf(number, number > 5), minIf(number, number > 3), maxIf(number, number < 3), uniqIf(number % 3, number > 1) FROM numbers(10)
SELECT uniqExactIf(number % 4, number > 2), argMaxIf(number, number, number < 5), groupArrayIf(number, number < 3), quantileIf(0.5)(number, number > 5), anyIf(number, number = 4) FROM numbers(10)
SELECT countMerge(c), sumMerge(s), minMerge(i), maxMerge(a), avgMerge(v), uniqMerge(u), uniqExactMerge(e), argMaxMerge(m) FROM (SELECT number % 3 AS g, countState() AS c, sumState(number) AS s, minState(number) AS i, maxState(number) AS a, avgState(number) AS v, uniqState(number % 5) AS u, uniqExactState(number % 4) AS e, argMaxState(number, number) AS m FROM numbers(20) GROUP BY g)
SELECT sumMergeIf(s, g > 0), arraySort(groupUniqArrayMerge(u)), quantileMerge(0.5)(q) FROM (SELECT number % 3 AS g, sumState(number) AS s, groupUniqArrayState(number % 2) AS u, quantileState(0.5)(number) AS q FROM numbers(20) GROUP BY g)
SELECT sumMerge(s) FROM (SELECT sumStateIf(number, number > 3) AS s FROM numbers(6))
SELECT number, sum(number) OVER (ORDER BY number), sumIf(number, number > 1) OVER (ORDER BY number), row_number() OVER (ORDER BY number DESC), lagInFrame(number, 1, 0) OVER (ORDER BY number) FROM numbers(4) ORDER BY number
SELECT avg(number) OVER (PARTITION BY number % 2) AS a, count() OVER () FROM numbers(4) ORDER BY a
SELECT sum(number = 1), avg(number > 1), sum(number > 1 AND number < 4) FROM numbers(6)
SELECT sum(DISTINCT number % 3), count(DISTINCT number % 4), uniq(number, number % 2) FROM numbers(10)
SELECT number AS n, n * 2 AS m, m + 1 FROM numbers(3) WHERE m > 1 ORDER BY n
SELECT number % 2 AS k, count() AS c FROM numbers(5) GROUP BY k HAVING c > 2 ORDER BY k
SELECT number FROM numbers(10) ORDER BY number LIMIT 2, 3
SELECT number FROM numbers(10) ORDER BY number LIMIT 3 OFFSET 2 SETTINGS max_threads = 1
SELECT * EXCEPT (b) FROM (SELECT 1 AS a, 2 AS b)
SELECT number FROM numbers(2) UNION ALL SELECT number FROM numbers(1, 1)
SELECT a.number, b.number FROM numbers(3) AS a LEFT JOIN numbers(1, 2) AS b ON a.number = b.number WHERE b.number > 0 ORDER BY 1
SELECT if(number = 0, 'z', toString(number)) FROM numbers(3) ORDER BY number
SELECT now() - INTERVAL 1 DAY < now(), today() - 7 < today(), toDate('2024-01-31') + INTERVAL 1 MONTH = toDate('2024-02-29')
SELECT toDate('2024-05-06') = '2024-05-06', toDateTime('2024-05-06 07:08:09') > '2024-05-06 00:00:00', toDate('2024-05-06') BETWEEN '2024-05-01' AND '2024-05-31'
SELECT position('abc', 'c'), substring('abcdef', 2, 3), trim('  a '), trim(BOTH 'x' FROM 'xax'), extract(YEAR FROM toDate('2024-05-06')), position('b' IN 'abc')
SELECT 7 / 2, 7 % 2, -7 % 3, 5 == 5, 1 != 2, NOT 1, 1 AND 0, 2 ? 3 : 4
SELECT 1 IN (1, 2), 1 NOT IN (2), (1, 2) IN ((1, 2)), 'a' LIKE 'A', 'a' ILIKE 'A', 1 BETWEEN 0 AND 2, NULL IS NULL
SELECT [1, 2, 3][2], [1, 2, 3][-1], map('a', 5)['a'], length([1, 2]), [[1], [2, 3]][2][1]
SELECT CASE WHEN 1 = 1 THEN 'a' ELSE 'b' END, CASE number WHEN 0 THEN 'z' ELSE 'n' END FROM numbers(1)
SELECT toStartOfHour(t) AS h, count() FROM (SELECT toDateTime('2024-05-06 07:08:09') + toIntervalMinute(number * 30) AS t FROM numbers(4)) GROUP BY h ORDER BY h
SELECT DISTINCT number % 2 AS n FROM numbers(5) ORDER BY n DESC
SELECT number FROM numbers(4) ORDER BY number % 2, number DESC
