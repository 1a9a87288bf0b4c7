"""The project can be packaged: everything a hub needs is inside, and nothing else."""

import subprocess
import sys
import zipfile
from pathlib import Path

from shared import __version__

ROOT = Path(__file__).parents[2]


def test_the_wheel_holds_the_three_packages_and_the_pages(tmp_path: Path) -> None:
    """Templates and static files of the pages are data, which packaging easily forgets."""
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob(f"headwater-{__version__}-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        info = f"headwater-{__version__}.dist-info"
        entry_points = archive.read(f"{info}/entry_points.txt").decode()
    assert "headwater = shared.main:main" in entry_points
    assert f"{info}/licenses/LICENSE" in names
    assert {name.partition("/")[0] for name in names} == {"shared", "edge", "hub", info}
    pages = [path for path in (ROOT / "hub" / "web").rglob("*") if path.is_file()]
    wanted = {str(path.relative_to(ROOT)) for path in pages if "__pycache__" not in path.parts}
    assert wanted - names == set()
