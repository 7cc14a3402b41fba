# Where labkit grade --container runs students' functions: Python, torch and numpy, and nothing of the course.
# In the repository: docker build --file containers/grading.Dockerfile --tag pruning-grading .
FROM python:3.12-slim

COPY requirements.txt /tmp/
RUN grep -E "^(torch|torchvision|numpy)>" /tmp/requirements.txt > /tmp/torch.txt && \
    pip install --no-cache-dir --index-url https://download.pytorch.org/whl/cpu --requirement /tmp/torch.txt
