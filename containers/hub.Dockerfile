# The student edition for JupyterHub, Binder or docker alone, with builds of torch that need no GPU (docs/hub.md).
# In the edition's folder: docker build --file binder/Dockerfile --tag pruning-lab .
FROM python:3.12-slim

ARG NB_USER=jovyan
ARG NB_UID=1000
# The hub's own major version
ARG JUPYTERHUB="jupyterhub>=5,<6"
ENV HOME=/home/${NB_USER} PIP_NO_CACHE_DIR=1
RUN useradd --create-home --uid ${NB_UID} ${NB_USER}

# Both from one index: a torch without CUDA cannot load the torchvision of the other.
WORKDIR /srv/pruning-lab
COPY requirements.txt .
RUN grep -E "^torch(vision)?>" requirements.txt > /tmp/torch.txt && \
    pip install --index-url https://download.pytorch.org/whl/cpu --requirement /tmp/torch.txt
COPY . .
RUN pip install --editable . notebook "${JUPYTERHUB}"

# A hub mounts each student's home over the image's: a home without the notebooks gets them when the server starts.
USER ${NB_USER}
WORKDIR ${HOME}
ENTRYPOINT ["sh", "-c", "[ -e \"$HOME/pruning-lab\" ] || { rm -rf \"$HOME/.pruning-lab\" && mkdir \"$HOME/.pruning-lab\" && cp -r /srv/pruning-lab/notebooks \"$HOME/.pruning-lab\" && mv \"$HOME/.pruning-lab\" \"$HOME/pruning-lab\"; }; exec \"$@\"", "start"]
CMD ["jupyter", "lab", "--ip=0.0.0.0"]
