"""``python -m posgrad_edu.scenes train``: train the network of scenes."""

from posgrad_edu.scenes.training import app

if __name__ == "__main__":
    app(prog_name="python -m posgrad_edu.scenes")
