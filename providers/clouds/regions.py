"""Where machines stand: the clouds' many ways to write a place, brought to `City, State, CC`, and what fits a wish."""

from __future__ import annotations

_CODES = {
    "argentina": "AR", "australia": "AU", "austria": "AT", "belgium": "BE", "brazil": "BR", "bulgaria": "BG",
    "canada": "CA", "chile": "CL", "china": "CN", "croatia": "HR", "czechia": "CZ", "czech republic": "CZ",
    "denmark": "DK", "estonia": "EE", "finland": "FI", "france": "FR", "germany": "DE", "greece": "GR",
    "hong kong": "HK", "hungary": "HU", "iceland": "IS", "india": "IN", "indonesia": "ID", "ireland": "IE",
    "israel": "IL", "italy": "IT", "japan": "JP", "korea": "KR", "south korea": "KR", "latvia": "LV",
    "lithuania": "LT", "luxembourg": "LU", "malaysia": "MY", "mexico": "MX", "netherlands": "NL",
    "the netherlands": "NL", "new zealand": "NZ", "norway": "NO", "philippines": "PH", "poland": "PL",
    "portugal": "PT", "romania": "RO", "russia": "RU", "serbia": "RS", "singapore": "SG", "slovakia": "SK",
    "slovenia": "SI", "south africa": "ZA", "spain": "ES", "sweden": "SE", "switzerland": "CH", "taiwan": "TW",
    "thailand": "TH", "turkey": "TR", "ukraine": "UA", "united arab emirates": "AE", "united kingdom": "GB",
    "uk": "GB", "united states": "US", "united states of america": "US", "usa": "US", "vietnam": "VN",
}  # fmt: skip
_EUROPE = frozenset({
    "AT", "BE", "BG", "CH", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GB", "GR", "HR", "HU", "IE", "IS", "IT", "LT",
    "LU", "LV", "NL", "NO", "PL", "PT", "RO", "RS", "SE", "SI", "SK", "UA",
})  # fmt: skip


def place(*parts: str) -> str:
    """Parts from the small to the large; a country's name becomes its code."""
    words = [word.strip() for part in parts for word in part.split(",") if word.strip()]
    if words:
        words[-1] = _CODES.get(words[-1].lower(), words[-1])
    return ", ".join(words)


def country(region: str) -> str:
    """The code of the country that a region ends or begins with, else empty."""
    last = region.rpartition(",")[2].strip()
    if len(last) == 2 and last.isalpha():
        return last.upper()
    return _CODES.get(last.lower(), "")


def country_of_datacenter(name: str) -> str:
    """`EU-RO-1` is in Romania, `US-TX-3` in the United States, `CA-MTL-1` in Canada."""
    parts = name.upper().split("-")
    if len(parts) >= 2 and parts[0] in ("EU", "EUR", "AP", "OC", "SEA", "ME", "AF", "SA") and len(parts[1]) == 2:
        return parts[1]
    return parts[0] if len(parts[0]) == 2 and parts[0].isalpha() else ""


def fits(wanted: str | None, region: str) -> bool:
    """Whether a region is what was asked for: a country's code or name, `EU` for Europe, or a part of its name."""
    if not wanted:
        return True
    wish = wanted.strip().lower()
    there = country(region)
    if wish.upper() == there or _CODES.get(wish, "-") == there:
        return True
    if wish in ("eu", "europe"):
        return there in _EUROPE
    if len(wish) == 2:
        return wish in region.lower().replace(",", " ").replace("-", " ").split()
    return wish in region.lower()
