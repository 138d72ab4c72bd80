import { DelimiterParser } from "@serialport/parser-delimiter"
import { through } from "./through.mjs"

export const decoder = (seen) => through(new DelimiterParser({ delimiter: "\r\n" }), seen)
