"""The page about one order: what an analyst reads first, and cases at the edge."""

from __future__ import annotations

import numpy as np
from support.built_games import built_row, built_rules

from tsa_model.batch import ENGINEERED
from tsa_model.reasons.explanation import Explained, OrderFacts, explain
from tsa_model.reasons.page import Context, render_explanation

LONG = "<b>a name that & goes on</b> " + "and on " * 60


def formula(x: dict[str, np.ndarray]) -> np.ndarray:
    real = ~x["key_padding_mask_ccid"].astype(bool)[:, :-1]
    return real.sum(axis=1) + 3 * x["x_seq_num_cid"][:, -1, 0] - x[ENGINEERED][:, 1]


def explained(customer: int, card: int, **settings: object) -> Explained:
    facts = OrderFacts("order <7>", {"card": list(range(100, 100 + card))})
    return explain(built_rules(formula, **settings), built_row(customer, card), facts)


def test_the_first_lines_say_why() -> None:
    found = explained(2, 9)
    page = render_explanation(found, Context("2025-04-21T00:55:38", percentile=0.995, probability=0.9))
    head = page[page.index("<main>") : page.index("<section")]
    assert 'class="verdict stop"' in head
    assert "Mostly because of the card&#39;s history: 9 orders with this card in the last" in head
    assert "99.5%" in head
    assert "2025-04-21 00:55:38" in head
    assert page.index("Where the score comes from") < page.index("What raises the score")
    assert page.index("order 100") < page.index("What the earlier orders gave")
    assert page.count("<svg") == 2
    assert "another view" not in page.lower()


def test_attention_is_a_view_of_its_own() -> None:
    attention = {"customer": [0.5, 0.1], "card": []}
    page = render_explanation(explained(2, 0), Context("2025-04-21T00:55:38", attention=attention))
    assert "Another view: where the network looked" in page
    assert "attention 0.500" in page
    assert page.count("<svg") == 2


def test_an_order_without_histories_says_so() -> None:
    page = render_explanation(explained(0, 0), Context("2025-04-21T00:55:38"))
    assert "No earlier order by this customer." in page
    assert ("Nothing in it raises the score much" in page) != ("Mostly because of the order itself" in page)
    assert "<svg" not in page


def test_texts_are_escaped_and_nothing_is_fetched() -> None:
    page = render_explanation(explained(19, 19, names={"amount": LONG}), Context("2025-04-21T00:55:38"))
    assert "<b>a name" not in page
    assert "&lt;b&gt;a name" in page
    assert "order &lt;7&gt;" in page
    assert "http" not in page.replace("http-equiv", "")


def test_the_same_explanation_gives_the_same_bytes() -> None:
    context = Context("2025-04-21T00:55:38", percentile=0.5)
    assert render_explanation(explained(5, 5), context) == render_explanation(explained(5, 5), context)
