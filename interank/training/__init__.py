"""The only room that knows TRL and PEFT."""
