"""A seeded simulation: the engine with its real writer, store and duties, in a world where everything goes wrong.

One seed is one story of some virtual seconds: users submit, cancel, repair, rerun and delete; attempts are slow,
vanish, report twice, late, or after they were given up; schedules tick and triggers fire; commits fail; the server
dies before and after them; replies are lost; the clock jumps. After every step `checks.py` and `clockwork.py` look at
what the store holds. A seed tells the same story every time.

    PYTHONPATH=src:tests python -m sim --seeds 5000 --jobs 2
    PYTHONPATH=src:tests python -m sim --seed 17          one story, told step by step
    PYTHONPATH=src:tests python -m sim --seeds 200 --mutant no_token_check
"""
