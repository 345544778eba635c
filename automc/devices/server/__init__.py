"""``automc device serve``: lets a workbench far away measure on this machine.

::

    workbench                        this machine
    RemoteBench, Line ── HTTP ──▶ Guard: the token, before anything else
                                    │
                                  app: routes
    GET /health, /device            ├─▶ Device.local
    PUT /jobs/ID                    ├─▶ JobQueue ─── one at a time ──▶ child.run_in ──▶ _runner.py, a process
    PUT /jobs/ID/model0.onnx, ...   ├─▶ uploads       │                limits of time     limit of memory
    GET /jobs/ID?wait=2             ├─▶ JobQueue      │
    DELETE /jobs/ID                 └─▶ JobQueue      └─ watch: forgets what nobody asks after, ends its process
                                  uploads: limits of size; onnx_bytes: may this model be loaded here?

The workbench chooses a job's ID, so that asking twice makes one job; it waits for its turn once its last file has
come. What was sent is read in the child only, except for the bytes of a model, which are checked before it is kept.
All this needs NumPy, ONNX Runtime, Starlette and uvicorn, and neither PyTorch nor onnx.
"""
