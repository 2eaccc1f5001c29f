# The course in JupyterLab, for one learner:
#
#     docker build -t posgrad-edu .
#     docker run --rm -p 127.0.0.1:8888:8888 -v posgrad-edu:/course posgrad-edu
#
# The address that it prints opens it; work stays in the volume. PyTorch's build for the CPU is some GB smaller than the
# one that pip chooses on Linux. The selector on pytorch.org shows where it lies:
#
#     docker build --build-arg PIP_EXTRA_INDEX_URL=<that address> -t posgrad-edu .
#
# Form and names are those of Jupyter's docker-stacks, as far as one package needs them. Many learners: docs/jupyterhub.md.
ARG PYTHON_VERSION=3.11
FROM python:${PYTHON_VERSION}-slim

SHELL ["/bin/bash", "-o", "pipefail", "-c"]

# Who works here has no rights beyond the course's folder. A folder of yours that is mounted there needs your number.
ARG NB_USER=learner
ARG NB_UID=1000
RUN useradd --no-log-init --create-home --shell /bin/bash --uid "${NB_UID}" "${NB_USER}" \
    && install --directory --owner "${NB_USER}" /course

ARG PIP_EXTRA_INDEX_URL=""
ENV PATH="/opt/course/bin:${PATH}"
COPY LICENSE MANIFEST.in README.md pyproject.toml setup.py /src/
COPY docs /src/docs
COPY exercises/release /src/exercises/release
COPY notebooks /src/notebooks
COPY posgrad_edu /src/posgrad_edu
RUN python -m venv /opt/course \
    && pip install --no-cache-dir --disable-pip-version-check '/src[notebooks]'

# Inside, JupyterLab listens to all: what is let in, `docker run -p` says. It asks for the token in the address.
RUN mkdir --parents /opt/course/etc/jupyter \
    && echo '{"ServerApp": {"ip": "0.0.0.0"}}' > /opt/course/etc/jupyter/jupyter_server_config.json

USER ${NB_UID}
WORKDIR /course
RUN posgrad-edu lab --copy-only --folder /course

EXPOSE 8888
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8888/api', timeout=4)"]
CMD ["posgrad-edu", "lab", "--no-browser", "--port", "8888"]
