"""A driver that is made up: there is no GPU where the suite runs."""

from types import SimpleNamespace

import pynvml

GIB = 1 << 30
UUIDS = ["GPU-aaaa1111", "GPU-bbbb2222", "GPU-cccc3333"]


class Imaginary:
    """A driver of three devices of 8 GiB, each of which may be filled, divided or lost."""

    def __init__(self, monkeypatch):
        self.free = dict.fromkeys(UUIDS, 8 * GIB)
        self.held = {}
        self.parts = {}
        """uuid → {(GPU instance, compute instance): uuid}, of those in MIG mode."""
        self.lost = {}
        """uuid → the code that NVML answers with, whatever it is asked."""
        self.fault = None
        """The code that NVML answers with when it is begun."""
        self.cuda = 13000
        answers = {
            "nvmlInit": self._init,
            "nvmlShutdown": lambda: None,
            "nvmlDeviceGetCount": lambda: len(UUIDS),
            "nvmlDeviceGetHandleByIndex": lambda index: self._there(UUIDS[index]),
            "nvmlDeviceGetHandleByUUID": lambda uuid: uuid,
            "nvmlDeviceGetUUID": self._there,
            "nvmlDeviceGetName": lambda handle: (
                "Imaginary 8000 MIG 1g.1gb" if handle[:3] == "MIG" else "Imaginary 8000"
            ),
            "nvmlDeviceGetMemoryInfo": self._memory,
            "nvmlDeviceGetUtilizationRates": self._utilisation,
            "nvmlDeviceGetComputeRunningProcesses": lambda handle: [
                SimpleNamespace(pid=p, usedGpuMemory=m) for p, m in self.held.get(handle, {}).items()
            ],
            "nvmlDeviceGetMigMode": self._mig_mode,
            "nvmlDeviceGetMaxMigDeviceCount": lambda handle: 7,
            "nvmlDeviceGetMigDeviceHandleByIndex": self._part,
            "nvmlDeviceGetGpuInstanceId": lambda handle: self._ids(handle)[0],
            "nvmlDeviceGetComputeInstanceId": lambda handle: self._ids(handle)[1],
            "nvmlSystemGetCudaDriverVersion_v2": lambda: self.cuda,
        }
        for name, answer in answers.items():
            monkeypatch.setattr(pynvml, name, answer)

    def _init(self):
        if self.fault is not None:
            raise pynvml.NVMLError(self.fault)

    def _there(self, uuid):
        if uuid in self.lost:
            raise pynvml.NVMLError(self.lost[uuid])
        return uuid

    def _memory(self, handle):
        if handle in self.parts:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NO_PERMISSION)
        return SimpleNamespace(total=8 * GIB, free=self.free[handle])

    def _utilisation(self, handle):
        if handle[:3] == "MIG":
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return SimpleNamespace(gpu=37)

    def _mig_mode(self, handle):
        if handle == UUIDS[2]:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return [int(handle in self.parts), 1]

    def _part(self, handle, index):
        """Places 0, 2, 4, … are taken."""
        if index % 2 or index // 2 >= len(self.parts[handle]):
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        return list(self.parts[handle].values())[index // 2]

    def _ids(self, part):
        return next(ids for parts in self.parts.values() for ids, uuid in parts.items() if uuid == part)

    def divide(self, uuid, *names):
        """Put a device into MIG mode, with these instances."""
        self.parts[uuid] = {(7 + number, 0): name for number, name in enumerate(names)}
        self.free.update(dict.fromkeys(names, GIB))
