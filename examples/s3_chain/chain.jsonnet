// A step of a chain: reads the repo before it over S3, and writes over S3.
local step(number, source) = {
  pipeline: { name: "step-" + number },
  description: "Adds a line to each file of " + source + ".",
  input: {
    pfs: { repo: source, name: "before", glob: "/", s3: true },
  },
  transform: {
    cmd: ["python3", "add_line.py", "line " + number],
  },
  s3_out: true,
};

function(source, steps="5") [
  step(number, if number == 1 then source else "step-" + (number - 1))
  for number in std.range(1, std.parseInt(steps))
]
