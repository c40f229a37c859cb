import test from 'node:test';
import { fuzz } from './fuzz.ts';

test('20,000 requests made of the document, valid and broken: no 5xx, and the envelope each time', (t) =>
  fuzz(t, 20_000, 3));
