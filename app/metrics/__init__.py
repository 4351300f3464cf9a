"""Every Prometheus metric, each declared once: ``fleet`` what the store and the surfaces say, ``process`` what this
process measures itself.

All replicas of the API export the same fleet metrics: aggregate those with ``max by``, never with ``sum``.
"""

from app.metrics.process import ServiceMetrics

__all__ = ["ServiceMetrics"]
