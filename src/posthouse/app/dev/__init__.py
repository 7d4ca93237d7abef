"""What `posthouse dev` has and `posthouse serve` has not: mail for anybody, and somebody who watches it come in."""
