import { judgePython } from './judge-python.ts';

judgePython(
  'LangChain for Python converses, runs a tool once, sees an image, parses JSON and raises its own errors',
  'langchain_client.py',
);
