#!/bin/bash
# Four machines of eight GPUs: `sbatch docs/launch/slurm.sh`. A killed job is queued again, and goes on from its checkpoint.
#SBATCH --job-name=interank
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=64
#SBATCH --requeue
set -euo pipefail
export MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
# The output is on a disk that all machines see, with locks and renames that hold between them.
srun torchrun --nnodes "$SLURM_NNODES" --nproc_per_node 8 --rdzv_id "$SLURM_JOB_ID" \
  --rdzv_backend c10d --rdzv_endpoint "$MASTER_ADDR:29500" \
  -m interank distill distill/llama-3.2-3b judgments=/shared/judgments questions_per_step=64 --out /shared/student --resume
