REPORT = "a report"
