-- One row for each airline at each airport; delays are in minutes.
create or replace table delays as
select
    origin,
    carrier,
    count(*) as flights,
    count(*) - count(dep_time) as cancelled,
    round(avg(dep_delay), 1) as mean_delay
from flights
group by origin, carrier
having count(dep_time) > 0
