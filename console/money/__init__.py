"""The books: prices, the ledger and the budget. Money is `Decimal`; unknown is None, never zero."""
