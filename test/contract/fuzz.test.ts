import test from 'node:test';
import { fuzz } from './fuzz.ts';

test('500 requests made of the document, valid and broken: no 5xx, and the envelope each time', (t) =>
  fuzz(t, 500, 20_261_125));
