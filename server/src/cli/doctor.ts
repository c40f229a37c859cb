import { doctorConfig } from '../command-config.ts';
import { withProcess } from '../config.ts';
import { CannotCheck, diagnose } from '../doctor.ts';

/** `holt doctor`: checks a data directory. 0 sound, 1 findings, 2 nothing could be said. */
export async function doctor(): Promise<number> {
  const config = withProcess(doctorConfig);
  try {
    const { summary, findings, warnings } = await diagnose(config.data, config.secretFiles);
    console.log(summary);
    for (const finding of findings) console.log(`finding: ${finding}`);
    for (const warning of warnings) console.log(`warning: ${warning}`);
    console.log(findings.length === 0 ? 'It is sound.' : `It has ${findings.length} findings.`);
    return findings.length === 0 ? 0 : 1;
  } catch (error) {
    if (!(error instanceof CannotCheck)) throw error;
    console.error(`holt: ${error.message}`);
    return 2;
  }
}
