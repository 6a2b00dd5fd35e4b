"""Runyard's own `awsglue`: what Glue scripts import, on plain Python and Arrow, and on Spark where pyspark is there.

Written from the documented behaviour (AWS Glue Developer Guide, 'Program AWS Glue ETL scripts in Python').
"""

from .dynamicframe import DynamicFrame

__all__ = ["DynamicFrame"]
