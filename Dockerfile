# The service as a container: only the packages that the service needs, each checked by the lock file's hashes, and a user
# that owns no file.
FROM python:3.11-slim AS build
WORKDIR /src
COPY requirements.lock ./
RUN pip download --quiet --require-hashes -r requirements.lock -d /wheels
COPY . .
# The context has no git, whose tag is the version: docker build --build-arg VERSION=1.2.3; a release's context has its own here.
ARG VERSION=0.0.0.dev0
RUN SETUPTOOLS_SCM_PRETEND_VERSION="$VERSION" pip wheel --quiet --no-deps --no-index --find-links /wheels -w /dist . ./agents \
 && python -m venv /venv \
 && /venv/bin/pip install --quiet --no-index --find-links /wheels /dist/agentos_telemetry-*.whl "$(ls /dist/agentos-*.whl)[openai,mcp]"

FROM python:3.11-slim
COPY --from=build /venv /venv
RUN useradd --system --no-create-home --shell /usr/sbin/nologin agentos
USER agentos
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1
EXPOSE 8000
HEALTHCHECK --start-period=1m --interval=5s --timeout=3s --retries=3 \
  CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/health/ready', timeout=2)"]
# X-Forwarded-For of clients is ignored: behind your own proxy start with --proxy-headers and FORWARDED_ALLOW_IPS instead.
CMD ["uvicorn", "agents.main:app", "--host", "0.0.0.0", "--port", "8000", "--no-proxy-headers", "--http", "h11"]
