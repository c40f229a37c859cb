import { judgePython } from './judge-python.ts';

judgePython(
  'the Agents SDK for Python converses, runs a tool once, sees an image, parses JSON and raises its own errors',
  'agents_sdk.py',
);
