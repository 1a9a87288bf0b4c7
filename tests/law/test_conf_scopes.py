"""Finding scopes by an index gives what trying every scope would give, for every edge."""

from hypothesis import given
from hypothesis import strategies as st

from hub.conf.scope_index import ScopeIndex
from shared.conf_scope import Scope, scope_of
from tests.law.drawing import patient

labels = st.dictionaries(st.sampled_from(("node", "role", "zone")), st.sampled_from("ab"))
scopes = st.lists(st.builds(scope_of, st.just("edges"), labels), unique=True, max_size=12)


@patient
@given(scopes, labels)
def test_the_index_finds_what_fits_in_the_order_of_rank(
    known: list[Scope], own: dict[str, str]
) -> None:
    index = ScopeIndex((scope, scope) for scope in known)
    wanted = sorted((scope for scope in known if scope.fits(own)), key=lambda scope: scope.rank)
    assert index.fitting(own) == wanted


@patient
@given(scopes, labels, labels)
def test_edges_with_one_signature_fit_the_same_scopes(
    known: list[Scope], one: dict[str, str], other: dict[str, str]
) -> None:
    index = ScopeIndex((scope, scope) for scope in known)
    signature = index.signature(one)
    assert index.fitting(index.labels_of(signature)) == index.fitting(one)
    if index.signature(other) == signature:
        assert index.fitting(other) == index.fitting(one)
