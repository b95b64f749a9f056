/** A question that stays open: a line was not answered, or something did not come to pass in time. */
export class Unanswered extends Error {
  override readonly name = "Unanswered";
}
