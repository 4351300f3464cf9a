from tests.api.conftest import anyio_backend, services, store

__all__ = ["anyio_backend", "services", "store"]
