"""Buckets are spread evenly over Spark's partitions."""

from __future__ import annotations

from collections import Counter

import pytest
from pyspark.sql import SparkSession

from flowlake.flows.seats import partition_of, seats


def test_every_partition_has_as_many_seats() -> None:
    numbers = seats(3, 2)
    assert len(set(numbers)) == 6
    assert [partition_of(number, 3) for number in numbers] == [0, 1, 2, 0, 1, 2]


@pytest.mark.spark
def test_partitions_are_those_that_spark_chooses(spark: SparkSession) -> None:
    numbers = seats(5, 4)
    rows = spark.createDataFrame([(number,) for number in numbers], "bucket int").repartition(5, "bucket")
    placed = rows.selectExpr("bucket", "spark_partition_id() as partition").collect()
    assert {row.bucket: row.partition for row in placed} == {n: partition_of(n, 5) for n in numbers}
    assert Counter(row.partition for row in placed) == dict.fromkeys(range(5), 4)
