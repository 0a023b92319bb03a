"""What flows between the floors: frozen records, torch-free and picklable.

`study.toml → Study → Plan → TrialSpec / AttackSpec → Job → events → ledgers → scores`.
"""
