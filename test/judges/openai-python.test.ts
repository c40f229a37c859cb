import { judgePython } from './judge-python.ts';

judgePython(
  'openai for Python converses, calls a tool, resumes, sees an image, parses JSON and raises its own errors',
  'openai_client.py',
);
