"""Tasks with a GPU: asked for stage by stage, where the cluster says that its executors have some.

`spark.executor.resource.gpu.amount` says so, with Spark's discovery script beside it (`conf/spark/gpu.conf`). A
step that wants a GPU then runs under a resource profile whose tasks take one each (or a share,
`spark.tamis.task.gpu`), and the other steps go on using all cores. Without that setting nothing is asked for, and a
task uses what its device setting finds.
"""

from __future__ import annotations

import os
import sys
from typing import Any

AMOUNT, SHARE = "spark.executor.resource.gpu.amount", "spark.tamis.task.gpu"


def with_gpu(rdd: Any, wanted: bool) -> Any:
    """The RDD, its tasks asking for a GPU where one is wanted and the cluster has some."""
    conf = rdd.context.getConf()
    if not wanted or float(conf.get(AMOUNT, "0")) <= 0:
        return rdd
    from pyspark.resource import ResourceProfileBuilder, TaskResourceRequests

    requests = TaskResourceRequests().cpus(1).resource("gpu", float(conf.get(SHARE, "1")))
    return rdd.withResources(ResourceProfileBuilder().require(requests).build)


def take_gpu() -> None:
    """In a task: shows CUDA the GPU that Spark gave it and no other, unless torch has started CUDA here before."""
    from pyspark import TaskContext

    context = TaskContext.get()
    found = context.resources().get("gpu") if context is not None else None
    torch = sys.modules.get("torch")
    started = torch is not None and torch.cuda.is_initialized()
    if found is not None and found.addresses and not started:
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(found.addresses)
