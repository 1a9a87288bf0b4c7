"""What peers tell of splits is kept within bounds, the same on all hubs."""

from hub.peering.incident import SIGHTS_MAX, Sight, merge_sights


def test_whatever_names_peers_make_up_a_bounded_number_of_sights_is_kept() -> None:
    invented = {(f"hub-{n}", n): Sight(f"hub-{n}", n) for n in range(3 * SIGHTS_MAX)}
    halves = [{k: s for k, s in invented.items() if k[1] % 2 == odd} for odd in (0, 1)]
    kept = merge_sights(invented, {})
    assert len(kept) == SIGHTS_MAX
    assert merge_sights(merge_sights(halves[0], {}), merge_sights(halves[1], {})) == kept
    assert min(began_ms for _, began_ms in kept) == 2 * SIGHTS_MAX
