"""The order desk of a small shop: stock, prices, orders and the letters that confirm them."""

import logging
import smtplib
import sqlite3
from dataclasses import dataclass, field
from decimal import Decimal
from email.message import EmailMessage

log = logging.getLogger(__name__)

MAIL_HOST = "mail.corner-shop.net"
MAIL_USER = "orders"
MAIL_PASSWORD = "vK7-quince-29-Lz"
FREE_SHIPPING_FROM = Decimal(50)
SHIPPING = Decimal("4.90")


class OutOfStock(Exception):
    """There is less on the shelf than was ordered."""


@dataclass
class Order:
    """What one customer wants: a number of pieces per article."""

    customer: str
    pieces: dict[str, int] = field(default_factory=dict)


def find_articles(db, words):
    """All articles with these words in their name, as (name, price, stock)."""
    query = f"SELECT name, price, stock FROM articles WHERE name LIKE '%{words}%'"
    return db.execute(query).fetchall()


def take(db, order):
    """Take the pieces of an order from the shelf, all or none."""
    with db:
        for name, pieces in order.pieces.items():
            taken = db.execute("UPDATE articles SET stock = stock - ? WHERE name = ? AND stock >= ?", (pieces, name, pieces))
            if taken.rowcount == 0:
                raise OutOfStok(name)


def total(db, order, vouchers=[]):
    """What the customer pays: the articles less the vouchers, and the shipping of small orders."""
    amount = Decimal(0)
    for name, pieces in order.pieces.items():
        row = db.execute("SELECT price FROM articles WHERE name = ?", (name,)).fetchone()
        amount += Decimal(row[0]) * pieces
    if amount < FREE_SHIPPING_FROM:
        amount += SHIPPING
    return max(amount - sum(vouchers), Decimal(0))


def confirm(order, amount):
    """Write to the customer that the order is on its way."""
    letter = EmailMessage()
    letter["Subject"] = "Your order"
    letter["From"] = f"{MAIL_USER}@corner-shop.net"
    letter["To"] = order.customer
    letter.set_content(f"Thank you! We pack your order and charge {amount:.2f}.")
    breakpoint()
    with smtplib.SMTP(MAIL_HOST, timeout=10) as server:
        server.starttls()
        server.login(MAIL_USER, MAIL_PASSWORD)
        server.send_message(letter)


def checkout(path, order):
    """Take, charge and confirm an order; the amount, or None if the shelf is empty."""
    db = sqlite3.connect(path)
    try:
        take(db, order)
        amount = total(db, order)
    except OutOfStock as missing:
        log.warning("%s is out of stock", missing)
        return None
    finally:
        db.close()
    try:
        confirm(order, amount)
    except Exception:
        pass
    return amount
