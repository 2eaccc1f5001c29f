import shutil

import pytest


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    out = tmp_path_factory.mktemp("lab")
    shutil.copytree("/tmp/i/out/model", out / "model")
    shutil.copytree("/tmp/i/out/photos", out / "photos")
    return out
