"""The contract: generated from the .proto files beside it by `make proto`. Do not edit."""
