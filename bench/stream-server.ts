/** The echo service of the tests in a process of its own: what streams and sockets are measured with. */
import { startEcho } from "../tests/support/echo.ts";

const echo = await startEcho();
process.on("SIGTERM", () => process.exit(0));
console.log(`ready ${echo.httpPort} ${echo.grpcPort}`);
