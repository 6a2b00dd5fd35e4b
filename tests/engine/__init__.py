"""The engine over a real store in memory, with a clock and an executor that the test moves by hand."""
