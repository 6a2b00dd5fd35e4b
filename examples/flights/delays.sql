-- One row for each airline at each airport; a flight is late when it leaves 15 minutes after its time.
create or replace table delays as
select
    origin,
    carrier,
    count(*) as flights,
    count(*) - count(dep_time) as cancelled,
    round(avg(dep_delay), 1) as mean_delay_minutes,
    round(100.0 * count(*) filter (where dep_delay >= 15) / count(dep_time), 1) as late_percent
from flights
group by origin, carrier
having count(dep_time) > 0
