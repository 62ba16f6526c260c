/**
 * What every queue with leases promises: one suite, run for each of them. New behaviour goes here
 * first.
 *
 * The tests drive the clock where they can: a lease lapses and a message gets due because its score
 * in Redis is set back, not because somebody slept.
 *
 * @module
 */
import { leasedDeadContract } from "./leased_dead_contract.ts";
import { leasedEnqueueContract } from "./leased_enqueue_contract.ts";
import { leasedFaultsContract } from "./leased_faults_contract.ts";
import { leasedForeignContract } from "./leased_foreign_contract.ts";
import { leasedInspectionContract } from "./leased_inspection_contract.ts";
import { leasedLimitsContract } from "./leased_limits_contract.ts";
import { leasedLogsContract } from "./leased_logs_contract.ts";
import { leasedMisuseContract } from "./leased_misuse_contract.ts";
import { leasedOptionsContract } from "./leased_options_contract.ts";
import { leasedReceiveContract } from "./leased_receive_contract.ts";
import { leasedSettleContract } from "./leased_settle_contract.ts";
import { leasedTests, type MakeQueue } from "./leased_support.ts";

/** Runs the suite. */
export function leasedQueueContract(name: string, makeQueue: MakeQueue): void {
  const test = leasedTests(makeQueue);
  leasedEnqueueContract(name, test);
  leasedReceiveContract(name, test);
  leasedSettleContract(name, test);
  leasedDeadContract(name, test);
  leasedForeignContract(name, test, makeQueue);
  leasedFaultsContract(name, test);
  leasedOptionsContract(name, test);
  leasedLogsContract(name, test);
  leasedLimitsContract(name, test);
  leasedInspectionContract(name, test);
  leasedMisuseContract(name, test, makeQueue);
}
