"""Collect of torch what training a label model uses, and no more.

Stands in for the community's hook: without compilers (_inductor, _dynamo), ONNX, test programs, headers and the
packages that only those need (sympy, networkx: see `stellacube.spec`). 766 of its modules are loaded in a training.
"""

from __future__ import annotations

from pathlib import Path

from PyInstaller.utils.hooks import PY_DYLIB_PATTERNS, collect_dynamic_libs, collect_submodules, get_package_paths

LEFT_OUT = (
    "torch._dynamo",
    "torch._inductor",
    "torch.onnx",
    "torch.contrib",
    "torch.distributed",  # what torch itself needs of it is found by analysis
    "torch.testing._internal",  # likewise
    "torch.utils.benchmark",
    "torch.utils.bottleneck",
    "torch.utils.model_dump",
    "torch.utils.tensorboard",
)
LIBRARIES_LEFT_OUT = (
    "/test/",
    "/bin/",
    "torchbind_test",
    "jitbackend_test",
    "backend_with_compiler",
    "aoti_custom_ops",
)

# torch reads its own sources on import (overloads in torch.jit): modules in the archive alone are not enough.
module_collection_mode = "pyz+py"
warn_on_missing_hiddenimports = False
hiddenimports = collect_submodules("torch", filter=lambda name: not name.startswith(LEFT_OUT), on_error="ignore")
binaries = [
    (source, target)
    for source, target in collect_dynamic_libs("torch", search_patterns=[*PY_DYLIB_PATTERNS, "*.so.*"])
    if not any(part in Path(source).as_posix() for part in LIBRARIES_LEFT_OUT)
]
# On Linux and macOS torch refuses to be imported without this program.
manager = Path(get_package_paths("torch")[1]) / "bin" / "torch_shm_manager"
if manager.exists():
    binaries.append((str(manager), "torch/bin"))
bindepend_symlink_suppression = ["**/torch/lib/*.so*"]
