from posthouse.accounts.errors import NoSuchAccountError, NoSuchAliasError, NoSuchDomainError


def test_a_missing_name_comes_with_the_nearest_one() -> None:
    assert str(NoSuchDomainError("exmaple.org", ["other.net", "example.org"])).endswith("did you mean example.org?")
    assert "did you mean alice@example.org?" in str(NoSuchAccountError("alcie@example.org", ["alice@example.org"]))


def test_the_nearest_address_is_near_in_both_its_parts() -> None:
    domain = "a-long-name-of-a-company.example.org"
    known = [f"alice@{domain}", f"bob@{domain}", "carol@example.net"]
    assert "did you mean" not in str(NoSuchAccountError(f"zoe@{domain}", known))
    assert f"did you mean alice@{domain}?" in str(NoSuchAccountError(f"alicia@{domain}", known))
    assert "did you mean carol@example.net?" in str(NoSuchAccountError("carol@exmaple.net", known))
    assert "did you mean carol@example.net?" in str(NoSuchAccountError("carl@exmaple.net", known))
    assert "did you mean" not in str(NoSuchAliasError("carol@other.test", known))


def test_without_one_the_fix_is_named() -> None:
    assert "posthouse domain add a.test" in str(NoSuchDomainError("a.test", []))
    assert "posthouse account add x@a.test" in str(NoSuchAccountError("x@a.test", ["bob@example.org"]))
    assert "posthouse alias list" in str(NoSuchAliasError("x@a.test", []))
