"""The part of the stand-in for Kaggle's service that keeps kernels."""

import re

USER = "digit-lover"
COMPETITION = "digit-recognizer"
SOURCE_LIMIT_BYTES = 1_000_000


class KernelService:
    """Requests about kernels; for `kaggle_server.Handler`."""

    def on_SaveKernel(self, body):
        owner, slug = body["slug"].split("/")
        title = re.sub("[^a-z0-9]+", "-", body["newTitle"].lower()).strip("-")
        faults = [
            "the owner is not you" * (owner != USER),
            "the title does not resolve to the slug" * (title != slug),
            "no source" * (not body.get("text")),
            "the source is too long" * (len(body.get("text", "").encode()) > SOURCE_LIMIT_BYTES),
            "the language or the type is unknown"
            * ((body["language"], body["kernelType"]) not in [("python", "script"), ("python", "notebook")]),
        ]
        if any(faults):
            return {"ref": "", "url": "", "error": next(filter(None, faults))}
        versions = self.server.kernels.setdefault(body["slug"], [])
        versions.append(body)
        return {
            "ref": f"/code/{body['slug']}",
            "url": f"https://www.kaggle.com/code/{body['slug']}",
            "versionNumber": len(versions),
            "invalidCompetitionSources": [s for s in body.get("competitionDataSources", []) if s != COMPETITION],
            "invalidKernelSources": [s for s in body.get("kernelDataSources", []) if s.startswith("nobody/")],
            "invalidDatasetSources": [s for s in body.get("datasetDataSources", []) if s.startswith("nobody/")],
        }

    def find_kernel(self, body):
        return self.server.kernels.get(f"{body['userName']}/{body['kernelSlug']}")

    def on_GetKernelSessionStatus(self, body):
        if not self.find_kernel(body):
            return {"code": 403, "message": "Permission 'kernels.get' was denied"}
        states = self.server.kernel_states
        state = states.pop(0) if len(states) > 1 else states[0]
        return {"status": state, **({"failureMessage": "Your notebook ran out of memory"} if state == "ERROR" else {})}

    def on_ListKernelSessionOutput(self, body):
        if not self.find_kernel(body):
            return {"code": 403, "message": "Permission 'kernels.get' was denied"}
        files = [{"fileName": name, "url": f"http://localhost/output/{name}"} for name in self.server.outputs]
        first = int(body.get("pageToken") or 0)
        size = body.get("pageSize") or 20
        more = first + size < len(files)
        return {
            "files": files[first : first + size],
            "log": self.server.log,
            "nextPageToken": str(first + size) if more else "",
        }
