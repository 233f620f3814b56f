"""Files that tests of several layers use."""

DESIGN_WORKFLOW = """\
version: 1.0
tasks:
  - name: generate_data
    command: python generate_data.py
    outputs:
      - {name: processed_data, path: /tmp/processed_data.csv, type: file}
  - name: upload_to_s3
    command: aws s3 cp {{tasks.generate_data.outputs.processed_data.path}} s3://my-workflow-bucket/output/processed_data.csv
    inputs:
      - {name: processed_data, path: /tmp/processed_data.csv, type: file}
"""
