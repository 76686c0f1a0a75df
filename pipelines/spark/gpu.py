"""GPUs for tasks, asked for by step, where the cluster says that its executors have some.

It says so by `spark.executor.resource.gpu.amount`, with Spark's discovery script beside it (`conf/spark/gpu.conf`). A
step that wants GPUs then runs under a resource profile in which each task takes one, or a share of one
(`spark.tamis.task.gpu`); the other steps use all cores as before. Without the setting Spark is asked for nothing, and a
task uses the device that its own `device` setting finds.
"""

from __future__ import annotations

import os
import sys
from typing import Any

AMOUNT, SHARE = "spark.executor.resource.gpu.amount", "spark.tamis.task.gpu"


def with_gpu(rdd: Any, wanted: bool) -> Any:
    """The RDD; its tasks ask Spark for a GPU if one is wanted and the cluster has some."""
    conf = rdd.context.getConf()
    if not wanted or float(conf.get(AMOUNT, "0")) <= 0:
        return rdd
    from pyspark.resource import ResourceProfileBuilder, TaskResourceRequests

    requests = TaskResourceRequests().cpus(1).resource("gpu", float(conf.get(SHARE, "1")))
    return rdd.withResources(ResourceProfileBuilder().require(requests).build)


def take_gpu() -> None:
    """In a task: hides from CUDA all GPUs but the one that Spark gave it, unless torch has started CUDA already."""
    from pyspark import TaskContext

    context = TaskContext.get()
    found = context.resources().get("gpu") if context is not None else None
    torch = sys.modules.get("torch")
    started = torch is not None and torch.cuda.is_initialized()
    if found is not None and found.addresses and not started:
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(found.addresses)
