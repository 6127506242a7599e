"""Names of instruments: what each venue and broker calls what we call BTC/USDT.

A pair's canonical name is BASE/QUOTE. One table (`ASSETS`, `QUOTES`, `VENUES`) says how the
others write it: joined (BTCUSDT), with a separator (BTC-USDT, EUR_USD), in small letters, or
under another code (XBT, XDG). A name that the table does not know is the instrument's own
(SPY, BRK.B) and passes unchanged if it keeps the contract.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from app.domain.refuse import SYMBOL


def _codes(text: str) -> frozenset[str]:
    return frozenset(text.split())


FIAT = _codes(
    "AED AUD BRL CAD CHF CNH CNY CZK DKK EUR GBP HKD HUF IDR ILS INR JPY KRW MXN NOK NZD PLN "
    "RON RUB SEK SGD THB TRY TWD UAH USD ZAR"
)
STABLE = _codes("BUSD DAI EURT FDUSD PYUSD TUSD USDC USDD USDP USDT UST")
METALS = _codes("XAG XAU XPD XPT")
COINS = _codes(
    "1INCH AAVE ADA ALGO APE APT ARB ATOM AVAX AXS BAT BCH BNB BTC CHZ COMP CRV DASH DOGE DOT "
    "EGLD ENJ EOS ETC ETH FIL FLOW FTM GALA GRT HBAR ICP IMX INJ KAVA KSM LDO LINK LRC LTC MANA "
    "MATIC MKR NEAR NEO OMG OP PEPE QTUM RUNE SAND SHIB SNX SOL SUI SUSHI THETA TON TRX UNI VET "
    "WAVES WLD XLM XMR XRP XTZ YFI ZEC ZIL"
)
ASSETS = FIAT | STABLE | METALS | COINS
"""Codes that make a name a pair at any venue, when both its parts are among them."""
QUOTES = FIAT | STABLE | {"BTC", "ETH", "BNB", "DOGE"}
"""Codes that a pair may be quoted in."""
RENAMED = {"XBT": "BTC", "XDG": "DOGE"}
"""Codes of the same asset, at any venue."""
SEPARATORS = "/-_."
"""What may stand between base and quote; the first of these in a name divides it."""


@dataclass(frozen=True, slots=True)
class Venue:
    """How one venue or broker writes pairs.

    Attributes:
        separator: Between base and quote.
        codes: Its own codes for assets, beyond `RENAMED`.
        says: The code it writes for an asset of ours.
        lower: It writes small letters.
        only_pairs: Everything it lists is a pair, so an unknown base is an asset we lack.
    """

    separator: str
    codes: Mapping[str, str] = field(default_factory=dict)
    says: Mapping[str, str] = field(default_factory=dict)
    lower: bool = False
    only_pairs: bool = True


KRAKEN_CODES = {
    **{f"Z{code}": code for code in ("USD", "EUR", "GBP", "JPY", "CAD", "AUD")},
    **{
        f"X{code}": code for code in ("ETH", "ETC", "LTC", "MLN", "REP", "XLM", "XMR", "XRP", "ZEC")
    },
    "XXBT": "BTC",
    "XXDG": "DOGE",
}

VENUES: Mapping[str, Venue] = {
    "BINANCE": Venue(""),
    "BITSTAMP": Venue("", lower=True),
    "BYBIT": Venue(""),
    "COINBASE": Venue("-"),
    "FXCM": Venue("/", only_pairs=False),
    "GATE": Venue("_"),
    "HITBTC": Venue(""),
    "IBKR": Venue(".", only_pairs=False),
    "KRAKEN": Venue("/", codes=KRAKEN_CODES, says={"BTC": "XBT", "DOGE": "XDG"}),
    "KUCOIN": Venue("-"),
    "METATRADER": Venue("", only_pairs=False),
    "OANDA": Venue("_", only_pairs=False),
    "OKX": Venue("-"),
    "PHEMEX": Venue(""),
}
"""Venues and brokers by the name ticks carry."""
ELSEWHERE = Venue("/", only_pairs=False)


@lru_cache(maxsize=100_000)
def canonical(symbol: str, venue: str) -> str:
    """Return the canonical name of what `venue` calls `symbol`; a canonical name is its own.

    An unknown name comes back as it is, whether or not it keeps the contract.
    """
    pair = _pair(symbol.upper(), VENUES.get(venue, ELSEWHERE)) if symbol.isascii() else None
    name = symbol if pair is None else "/".join(pair)
    return name if re.fullmatch(SYMBOL, name) else symbol


def at_venue(symbol: str, venue: str) -> str:
    """Return what `venue` calls our `symbol`; an unknown name or venue comes back as it is."""
    base, mark, quote = symbol.partition("/")
    if not mark or venue not in VENUES:
        return symbol
    rule = VENUES[venue]
    name = rule.says.get(base, base) + rule.separator + rule.says.get(quote, quote)
    return name.lower() if rule.lower else name


def _pair(name: str, rule: Venue) -> tuple[str, str] | None:
    for separator in SEPARATORS:
        if separator in name:
            base, _, quote = name.partition(separator)
            return _known(base, quote, rule, only_pairs=rule.only_pairs)
    # The longest quote first: BTCFDUSD is BTC/FDUSD, not BTCFD/USD.
    cuts = [(name[:at], name[at:]) for at in range(2, len(name) - 2)]
    for only_pairs in (False, True)[: 1 + rule.only_pairs]:
        for base, quote in cuts:
            if pair := _known(base, quote, rule, only_pairs=only_pairs):
                return pair
    return None


def _known(base: str, quote: str, rule: Venue, *, only_pairs: bool) -> tuple[str, str] | None:
    base, quote = _asset(base, rule), _asset(quote, rule)
    if quote not in QUOTES or base == quote:
        return None
    is_pair = base in ASSETS or (only_pairs and base.isascii() and base.isalnum())
    return (base, quote) if is_pair else None


def _asset(code: str, rule: Venue) -> str:
    return rule.codes.get(code) or RENAMED.get(code, code)
