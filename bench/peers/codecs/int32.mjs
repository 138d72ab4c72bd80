import frames from "frame-stream"
import { through } from "./through.mjs"

export const decoder = (seen) => through(frames.decode(), seen)

export const encoder = (seen) => through(frames.encode(), seen)
