"""The frame of the reports of training and of ``validate``."""

from contract.io.report import document, section


def test_a_title_is_text_and_the_style_of_a_page_comes_after_the_one_of_all() -> None:
    page = document("a <b> & c", section("<i>", "<p>1</p>"), "th { color: red; }")
    assert "<title>a &lt;b&gt; &amp; c</title>" in page
    assert "<h1>a &lt;b&gt; &amp; c</h1>" in page
    assert "<section>\n<h2>&lt;i&gt;</h2>\n<p>1</p>\n</section>" in page
    assert page.index("th, td {") < page.index("th { color: red; }") < page.index("</style>")
