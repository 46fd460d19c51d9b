#!/usr/bin/env bash
# Four nodes of eight GPUs: sbatch docs/slurm.sh CONFIG [key=value …], or with --resume RUN after a time limit.
#SBATCH --job-name=janusflow
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=64
#SBATCH --time=24:00:00
#SBATCH --signal=TERM@300
set -euo pipefail
export TORCH_ELASTIC_SHUTDOWN_TIMEOUT=280 # seconds to save the state after SIGTERM, out of the 300 above

head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
srun --kill-on-bad-exit=1 .venv/bin/torchrun \
    --nnodes "$SLURM_NNODES" --nproc-per-node 8 \
    --rdzv-id "$SLURM_JOB_ID" --rdzv-backend c10d --rdzv-endpoint "$head:29500" \
    train.py "$@"
