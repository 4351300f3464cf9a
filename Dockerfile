# Any image with Debian's or the official Python 3.11+ works as a base: docker build --build-arg BASE=...
ARG BASE=python:3.12-slim

FROM ${BASE} AS build
# Builds behind a proxy with its own certificate authority pass it as a secret: --secret id=ca,src=ca.crt
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /opt/smilekeeper
COPY requirements.lock ./
# The packages' own tests and pip itself stay behind: nothing installs anything at run time.
RUN --mount=type=secret,id=ca,target=/etc/ssl/build-ca.crt \
    if [ -s /etc/ssl/build-ca.crt ]; then export PIP_CERT=/etc/ssl/build-ca.crt; fi; \
    python3 -m venv /opt/venv \
    && /opt/venv/bin/pip install --require-hashes -r requirements.lock \
    && find /opt/venv/lib -type d -name tests -prune -exec rm -rf {} + \
    && /opt/venv/bin/pip uninstall --yes setuptools pip
COPY app ./app
# Kernels are compiled here, once, for x86-64-v3 (AVX2, FMA: Intel since Haswell, AMD since Zen). numba's cache is keyed
# by these two settings, not by the CPU it finds, so the same two at run time hit it on any such machine. For another
# architecture: --build-arg CPU_NAME=generic --build-arg CPU_FEATURES=
ARG CPU_NAME=x86-64-v3
ARG CPU_FEATURES=+avx,+avx2,+bmi,+bmi2,+f16c,+fma,+lzcnt,+movbe,+popcnt
ENV NUMBA_CPU_NAME=${CPU_NAME} NUMBA_CPU_FEATURES=${CPU_FEATURES} NUMBA_CACHE_DIR=/opt/kernels
RUN /opt/venv/bin/python -m app warm && /opt/venv/bin/python -m compileall -q app

FROM ${BASE}
LABEL org.opencontainers.image.title=smilekeeper org.opencontainers.image.licenses=MIT
ARG CPU_NAME=x86-64-v3
ARG CPU_FEATURES=+avx,+avx2,+bmi,+bmi2,+f16c,+fma,+lzcnt,+movbe,+popcnt
ENV NUMBA_CPU_NAME=${CPU_NAME} NUMBA_CPU_FEATURES=${CPU_FEATURES} NUMBA_CACHE_DIR=/tmp/kernels \
    PATH=/opt/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 SMILEKEEPER_HOST=0.0.0.0
COPY --from=build /opt/venv /opt/venv
COPY --from=build /opt/kernels /opt/kernels
COPY --from=build /opt/smilekeeper/app /opt/smilekeeper/app
COPY LICENSE deploy/entrypoint.sh /opt/smilekeeper/
WORKDIR /opt/smilekeeper
USER 10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python3", "-m", "app", "healthy"]
ENTRYPOINT ["/bin/sh", "/opt/smilekeeper/entrypoint.sh"]
CMD ["api"]
