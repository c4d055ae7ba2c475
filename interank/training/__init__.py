"""Training by TRL and PEFT: supervised fine-tuning, GRPO, ranking losses, checkpoints and memory."""
