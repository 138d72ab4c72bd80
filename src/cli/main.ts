#!/usr/bin/env node
/**
 * The entry of the tool, which loads it file by file: `import` opens so many files at a time that it fails under
 * `ulimit -n 128`, where the tool itself can work.
 *
 * @internal
 */
import { createRequire } from "node:module"
import type * as Tool from "./tool.ts"

const tool = createRequire(import.meta.url)("./tool.js") as typeof Tool

tool.run()
